// Variants as Spack writes them, each coloured by what it says.

/** Variants and flags: `+shared~static build_system=cmake`. */
export function Parameters({ text }: { readonly text: string }) {
  const parts = text.match(/[+~][\w-]+|\S+/g) ?? [];
  return (
    <span class="parameters">
      {parts.map((part) => (
        <>
          <span key={part} class={kindOf(part)}>
            {part}
          </span>{" "}
        </>
      ))}
    </span>
  );
}

function kindOf(part: string): string {
  if (part.startsWith("+")) return "on";
  return part.startsWith("~") ? "off" : "value";
}
