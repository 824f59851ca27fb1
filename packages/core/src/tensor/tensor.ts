/**
 * `Tensor`: the proxy that users hold. It knows its value (what memory, where) and its place in the autograd graph; every op is a
 * function elsewhere, hung on the prototype from the op table (tensor/methods.ts).
 */
import { breakClaims, isAnyClaimed } from "../actor/claims.ts";
import type { Device } from "../actor/device.ts";
import type { Property } from "../actor/notes.ts";
import { taping } from "../actor/tape.ts";
import { AccumulateGrad } from "../autograd/accumulate.ts";
import type { Edge, Node } from "../autograd/node.ts";
import type { ViewRecord } from "../autograd/views.ts";
import { AutogradError, DTypeError, ShapeError } from "../errors.ts";
import { shown } from "../arguments.ts";
import { isFloat } from "./dtype.ts";
import type { DType } from "./dtype.ts";
import { numelOf, sameShape } from "./shape.ts";
import type { Shape } from "./shape.ts";
import type { Value } from "./value.ts";

export class Tensor {
  #value: Value;
  #grad: Tensor | undefined = undefined;
  /** A leaf that wants a gradient. */
  #wanted: boolean;
  #node: Node | undefined;
  #slot: number;
  #accumulator: AccumulateGrad | undefined = undefined;
  #view: ViewRecord | undefined;

  /** Made by the dispatcher; users call `tensor()`, `zeros()`, ... */
  constructor(value: Value, requiresGrad = false, view?: ViewRecord) {
    this.#value = value;
    this.#wanted = requiresGrad;
    this.#node = undefined;
    this.#slot = 0;
    this.#view = view;
  }

  /** What the tensor holds; using it throws a DisposedError after `dispose()`. */
  get value(): Value {
    return this.#value;
  }

  get shape(): Shape {
    return this.#value.shape;
  }

  get dtype(): DType {
    return this.#value.dtype;
  }

  get device(): Device {
    return this.#value.device;
  }

  /** In-place writes so far to the memory behind this tensor (PyTorch's `_version`). */
  get version(): number {
    return this.#value.version;
  }

  /** Sizes, or the size of one dimension. */
  size(): Shape;
  size(dim: number): number;
  size(dim?: number): Shape | number {
    if (dim === undefined) return this.shape;
    const size = Number.isInteger(dim) ? this.shape.at(dim) : undefined;
    if (size === undefined) throw new ShapeError(`Dimension out of range: ${shown(dim)} for a tensor of ${this.shape.length} dimensions`, { op: "size" });
    return size;
  }

  dim(): number {
    return this.shape.length;
  }

  /** The number of dimensions, as `dim()`. */
  get ndim(): number {
    return this.shape.length;
  }

  numel(): number {
    return numelOf(this.shape);
  }

  // --- autograd ---------------------------------------------------------------------------------------------------------------

  /** Accumulated by `backward()`; undefined until then. @throws ShapeError, DTypeError when set to what is no gradient of this tensor */
  get grad(): Tensor | undefined {
    taping?.notes.read(this, Tensor.gradient);
    return this.#grad;
  }

  set grad(grad: Tensor | undefined) {
    if (grad !== undefined) {
      if (!isTensor(grad)) throw new DTypeError(`a gradient must be a Tensor or undefined, not ${shown(grad)}`, { op: "grad" });
      if (!sameShape(grad.shape, this.shape)) {
        throw new ShapeError(`assigned grad has data of a different size: [${grad.shape.join(", ")}] for [${this.shape.join(", ")}]`);
      }
      if (grad.dtype !== this.dtype) throw new DTypeError(`assigned grad has data of a different type: ${grad.dtype} for ${this.dtype}`);
    }
    taping?.notes.change(this, Tensor.gradient);
    this.#grad = grad;
  }

  /** For captured steps: where `.grad` is kept. */
  static readonly gradient: Property<Tensor, Tensor | undefined> = {
    get: (x) => x.#grad,
    set: (x, grad) => {
      x.#grad = grad;
    },
  };

  /** Whether gradients are wanted for this tensor. Settable on leaves. */
  get requiresGrad(): boolean {
    if (this.#wanted || this.#node !== undefined) return true;
    return this.#view !== undefined && this.#view.refresh(this) && this.#node !== undefined;
  }

  set requiresGrad(wanted: boolean) {
    if (!this.isLeaf) {
      throw new AutogradError("you can only change requiresGrad flags of leaf variables.", {
        remedy: wanted ? undefined : "Use detach() for a tensor that shares the data and has no history.",
      });
    }
    if (wanted && !isFloat(this.dtype)) {
      throw new AutogradError("only Tensors of floating point dtype can require gradients", { remedy: `This one holds ${this.dtype}.` });
    }
    if (wanted !== this.#wanted) this.#outdateCaptures();
    this.#wanted = wanted;
  }

  /** The function that made this tensor, or undefined for a leaf. */
  get gradFn(): Node | undefined {
    this.#view?.refresh(this);
    return this.#node;
  }

  /** Made by the user, or not recorded. */
  get isLeaf(): boolean {
    return this.gradFn === undefined;
  }

  /** Where this tensor's gradient goes, or undefined when none is wanted. */
  get edge(): Edge | undefined {
    this.#view?.refresh(this);
    if (this.#node !== undefined) return { node: this.#node, slot: this.#slot };
    if (!this.#wanted) return undefined;
    return { node: (this.#accumulator ??= new AccumulateGrad(this)), slot: 0 };
  }

  /** The recorded function as it stands, without asking a view's base whether it is old. */
  get recordedFn(): Node | undefined {
    return this.#node;
  }

  /** Which output of `recordedFn` this tensor is. */
  get recordedSlot(): number {
    return this.#slot;
  }

  /** Of which tensor this one is a differentiable view, and how. */
  get view$(): ViewRecord | undefined {
    return this.#view;
  }

  /** Sets the place in the graph (the dispatcher and in-place ops do). */
  setHistory(node: Node | undefined, slot: number): void {
    this.#node = node;
    this.#slot = slot;
    if (node !== undefined) this.#wanted = false;
  }

  /** Puts another value in this tensor's place (device moves of parameters, sharding): a leaf stays the same leaf. */
  replaceValue(value: Value): void {
    if (this.#node !== undefined) throw new AutogradError("only a leaf's value can be replaced");
    this.#outdateCaptures();
    this.#value = value;
    this.#view = undefined;
  }

  /** What was captured with this tensor's memory did with it what will not be done any more. */
  #outdateCaptures(): void {
    if (!isAnyClaimed() || this.isDisposed) return;
    for (const { storage } of this.#value.executor.locals(this.#value)) breakClaims(storage.device.number, storage.id);
  }

  /**
   * Frees the memory now, for this tensor and all that share it. Any later use throws a DisposedError.
   */
  dispose(): void {
    this.#value.executor.dispose(this.#value);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether `dispose()` was called on this tensor or one that shares its memory. */
  get isDisposed(): boolean {
    return this.#value.executor.isDisposed(this.#value);
  }
}

export function isTensor(x: unknown): x is Tensor {
  return x instanceof Tensor;
}
