/** The URL of a module beside `from`, in the sources as in the build. */
export function siblingModule(from: string, name: string): URL {
  return new URL(`./${name}${from.slice(from.lastIndexOf("."))}`, from);
}
