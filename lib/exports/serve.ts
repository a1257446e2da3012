/**
 * Serves a directory as a registry.
 *
 * @module stave/serve
 */

export { createRegistry, type RegistryOptions, type RegistryServer } from "../serve/registry-server.ts";
