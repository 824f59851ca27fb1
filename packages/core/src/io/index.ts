/** `io`: tensors in files. */
export { loadSafetensors, loadSafetensorsMetadata, saveSafetensors, type LoadOptions } from "./checkpoint.ts";
export {
  decodeSafetensors,
  encodeSafetensors,
  SafetensorsError,
  type RawTensor,
  type SafetensorsContents,
  type SafetensorsMetadata,
} from "./safetensors.ts";
