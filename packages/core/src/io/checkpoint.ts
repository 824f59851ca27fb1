/** Tensors to safetensors files and back. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import type { Device } from "../actor/device.ts";
import { ValueError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { fromBytes } from "../tensor/creation.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";
import type { RawTensor } from "./safetensors.ts";

/**
 * Writes named tensors, such as a module's `stateDict()`, as a safetensors file. The file appears whole or not at all.
 * @param metadata free-form annotations
 * @throws (rejects) ValueError for what is no tensor; SafetensorsError for names that cannot be written; the error of
 * the op that failed, where a tensor is poisoned
 */
export async function saveSafetensors(
  path: string | URL,
  tensors: Readonly<Record<string, Tensor>>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!isTensor(tensor)) {
      const remedy = "Give tensors by name: saveSafetensors(path, model.stateDict()).";
      throw new ValueError(`${name} is ${shown(tensor)}, not a Tensor`, { op: "saveSafetensors", remedy });
    }
  }
  const entries = await Promise.all(
    Object.entries(tensors).map(async ([name, tensor]): Promise<readonly [string, RawTensor]> => {
      const { buffer, byteOffset, byteLength } = await tensor.data();
      return [
        name,
        { dtype: tensor.dtype, shape: tensor.shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) },
      ];
    }),
  );
  const file = encodeSafetensors(entries, metadata === undefined ? undefined : new Map(Object.entries(metadata)));
  const target = path instanceof URL ? path : String(path);
  const draft = target instanceof URL ? new URL(`${target.href}.part`) : `${target}.part`;
  try {
    await writeFile(draft, file);
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

export interface LoadOptions {
  /** Where the tensors are made; default is the default device. */
  readonly device?: Device | string;
}

/**
 * Reads the tensors of a safetensors file. A damaged file makes no tensor.
 * @throws (rejects) SafetensorsError where the file departs from the format
 */
export async function loadSafetensors(path: string | URL, options: LoadOptions = {}): Promise<Record<string, Tensor>> {
  const { tensors } = decodeSafetensors(await readFile(path));
  const result: Record<string, Tensor> = {};
  for (const [name, { bytes, shape, dtype }] of tensors) {
    if (name === "__proto__") throw new ValueError('a tensor cannot be named "__proto__"');
    result[name] = fromBytes(bytes, shape, dtype, options);
  }
  return result;
}

/** The annotations of a safetensors file. @throws (rejects) SafetensorsError where the file departs from the format */
export async function loadSafetensorsMetadata(path: string | URL): Promise<Record<string, string>> {
  const { metadata } = decodeSafetensors(await readFile(path));
  return Object.fromEntries(metadata ?? []);
}
