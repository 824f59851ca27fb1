/** `data`: datasets and loaders. */
export { randomSplit, Subset, TensorDataset, type Dataset } from "./dataset.ts";
export { defaultCollate, type Batched } from "./collate.ts";
export { DataLoader, type DataLoaderOptions } from "./loader.ts";
