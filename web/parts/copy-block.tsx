// Text to copy, with a button.
import { useRef, useState } from "preact/hooks";

/** Lines of a shell, with a button that copies them. */
export function CopyBlock({ lines, label }: { readonly lines: readonly string[]; readonly label: string }) {
  const text = useRef<HTMLElement>(null);
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      setSaid("Copied");
    } catch {
      // The clipboard is only for pages from https and from this machine.
      const range = document.createRange();
      if (text.current !== null) range.selectNodeContents(text.current);
      getSelection()?.removeAllRanges();
      getSelection()?.addRange(range);
      setSaid("Selected: press Ctrl+C");
    }
    setTimeout(() => setSaid(""), 3000);
  };
  return (
    <div class="copy">
      {/* biome-ignore lint/a11y/useSemanticElements: the element is the text to copy */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <pre tabIndex={0} aria-label={`Commands for ${label}`} role="region">
        <code ref={text}>{lines.join("\n")}</code>
      </pre>
      <button type="button" onClick={copy} aria-label={`Copy the commands for ${label}`}>
        {said === "Copied" ? "Copied" : "Copy"}
      </button>
      <span class="hidden" role="status">
        {said}
      </span>
    </div>
  );
}
