// The one function of the package secure-compare, which has no declarations of its own.

declare module "secure-compare" {
  export default function compare(a: string, b: string): boolean;
}
