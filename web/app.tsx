// The browser part of a catalogue: loads the start document, and shows the page of the address.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { CatalogueLoader } from "./catalogue-loader.ts";
import { DiffPage } from "./pages/diff-page.tsx";
import { PackagePage } from "./pages/package-page.tsx";
import { SpecPage } from "./pages/spec-page.tsx";
import { StartPage } from "./pages/start-page.tsx";
import { Problem } from "./parts/loaded.tsx";
import { Shell } from "./parts/shell.tsx";
import { parseRoute, type Route } from "./routes.ts";

function App({ loader }: { readonly loader: CatalogueLoader }) {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  useEffect(() => {
    const onChange = () => {
      setRoute(parseRoute(location.hash));
      scrollTo(0, 0);
      // As after any other change of page, reading continues at its top.
      document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
    };
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return (
    <Shell loader={loader} route={route}>
      <Page key={keyOf(route)} loader={loader} route={route} />
    </Shell>
  );
}

function Page({ loader, route }: { readonly loader: CatalogueLoader; readonly route: Route }) {
  switch (route.page) {
    case "start":
      return <StartPage loader={loader} text={route.text} />;
    case "package":
      return <PackagePage loader={loader} {...route} />;
    case "spec":
      return <SpecPage loader={loader} name={route.name} hash={route.hash} />;
    case "diff":
      return <DiffPage loader={loader} left={route.left} right={route.right} />;
    case "unknown":
      return <Problem title="There is no such page" text="The address is not one of this catalogue." />;
  }
}

// A search stays one page while it is typed.
const keyOf = (route: Route): string => (route.page === "start" ? route.page : JSON.stringify(route));

const root = document.getElementById("app");
if (root !== null) {
  const loading = root.querySelector<HTMLElement>(".loading");
  if (loading !== null) loading.hidden = false;
  CatalogueLoader.open().then(
    (loader) => {
      root.replaceChildren();
      render(<App loader={loader} />, root);
    },
    (error: unknown) => {
      // A page from a disk may load scripts, but no documents.
      const isFile = location.protocol === "file:";
      const text = isFile
        ? "Browsers load the catalogue only from a web server. This table works from a folder:"
        : `The catalogue cannot be loaded: ${error instanceof Error ? error.message : String(error)}. This table may help:`;
      root.replaceChildren();
      render(
        <main class="plain">
          <h1>Build cache</h1>
          <p>
            {text} <a href="plain/1.html">all packages</a>
          </p>
        </main>,
        root,
      );
    },
  );
}
