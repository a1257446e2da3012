// What `stave serve` and its clients agree on about conditional writes of tags.

/**
 * The header with which `stave serve` announces support for If-Match; there is no standard one, so other registries are
 * probed.
 */
export const CONDITIONS_HEADER = "stave-tag-conditions";
