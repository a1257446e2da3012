// `stave/serve`: a directory as a registry.

export { createRegistry, type RegistryOptions, type RegistryServer } from "../serve/registry-server.ts";
