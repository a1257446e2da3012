// What the page and the thread that lays out graphs say to each other.

/** A graph to lay out. */
export interface LayoutQuestion {
  readonly id: number;
  readonly nodes: readonly { readonly id: string; readonly width: number; readonly height: number }[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

/** A place in the picture. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Where its parts are; nodes by their centres, edges in the order of the question. */
export interface LayoutAnswer {
  readonly id: number;
  readonly width: number;
  readonly height: number;
  readonly nodes: readonly (Point & { readonly id: string })[];
  readonly edges: readonly (readonly Point[])[];
}
