// The files in which AWS tools keep credentials and settings: sections of `name = value` lines.

/** The settings of one profile, by lower-case name. */
export type AwsProfile = ReadonlyMap<string, string>;

/** The settings of a profile in the text of `credentials` or `config`; undefined if it is not there. */
export function awsProfile(text: string, name: string): AwsProfile | undefined {
  let found: Map<string, string> | undefined;
  let isMine = false;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[\s*(?:profile\s+)?([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) {
      isMine = section === name;
      if (isMine) found ??= new Map();
      continue;
    }
    // Indented lines belong to a setting with parts, none of which is needed here.
    const [, key = "", value = ""] = /^([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (isMine && key !== "" && !found?.has(key.toLowerCase())) found?.set(key.toLowerCase(), value);
  }
  return found;
}
