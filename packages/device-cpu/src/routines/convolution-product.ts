/**
 * Convolutions that give y or x, as matrix products of the weight and of the windows, which are packed panel by panel
 * from the image ("implicit GEMM"; Chetlur et al., "cuDNN: Efficient primitives for deep learning", 2014) or, where few
 * rows use them, read in place. A single row is summed up line by line of the result.
 *
 * x is the sum of what windows of y hold for it. Where windows of x are `stride` apart, each remainder of its places
 * modulo the stride has a product of its own, with every stride-th tap.
 */
import { Scratch } from "../wasm/arguments.ts";
import { ModuleBuilder, Op, Type } from "../wasm/assembler.ts";
import { Geometry, type Places } from "./convolution-geometry.ts";
import { Image, imageBytes, rowCopier } from "./convolution-image.ts";
import { runPacker, runWriter } from "./convolution-runs.ts";
import { type ConvolutionShape, product } from "./convolution-shape.ts";
import { RunTable, StepTable } from "./convolution-tables.ts";
import { imageKernel, rowKernel } from "./convolution-tiles.ts";
import { type Int, Ints, type Variable } from "./ints.ts";
import { microKernel, tileRows } from "./matmul-tiles.ts";

/** Steps of a sum that a panel holds at a time. */
const blockK = 320;
/** Up to so many rows a panel is packed and used up before the next; with more, some are packed together. */
const rowsInCache = 192;
const panelsTogether = 8;
/** Up to so many tiles of rows read the image in place, where a panel's columns are neighbours in it. */
const tilesInPlace = 3;
/** Columns of a panel where there is a single row. */
const lineColumns = 64;

const tileBytes = tileRows * 16 * 4;

/** Positions whose places leave one remainder modulo the stride: one product's columns. */
function columnsOf({ positions, stride }: ConvolutionShape, isInput: boolean): readonly number[] {
  return positions.map((size, d) => (isInput ? Math.ceil(size / stride[d]) : size));
}

/** Units of work: panels of columns of each image and group. */
export function productUnits(shape: ConvolutionShape, isInput: boolean, panel: number): number {
  const width = shape.rows === 1 ? lineColumns : panel;
  return shape.images * shape.groups * RunTable.panels(columnsOf(shape, isInput), width);
}

/** Bytes of the image, as `Image` takes them. */
function imageSize(shape: ConvolutionShape, isInput: boolean): number {
  const { channels, positions, taps, stride, dilation, padding } = shape;
  const span = positions.map((size, d) => {
    const reach = (taps[d] - 1) * dilation[d];
    return isInput
      ? Math.floor(reach / stride[d]) + Math.floor((size - 1 + padding[d]) / stride[d]) + 1
      : (size - 1) * stride[d] + reach + 1;
  });
  return imageBytes(channels, span, isInput ? 1 : stride[stride.length - 1]);
}

export function productScratchBytes(shape: ConvolutionShape, isInput: boolean, panel: number): number {
  const steps = shape.channels * product(shape.taps);
  const columns = columnsOf(shape, isInput);
  const rows = product(columns.slice(0, -1));
  const tables = StepTable.bytes(steps) + RunTable.bytes(RunTable.panels(columns, panel), rows);
  const panels = panelsTogether * Math.min(steps, blockK) * panel * 4;
  // The last columns of a panel may lie past the image.
  const image = imageSize(shape, isInput) + 64 + 4 * panel;
  return Scratch.headerBytes + tileBytes + tables + shape.rows * steps * 4 + panels + image;
}

/** The module of `run(args, begin, end, scratch)`. */
export function printProduct(places: Places, panel: number): Uint8Array<ArrayBuffer> {
  return new ProductPrinter(places, panel).print();
}

/** Where a tensor is, and its strides in bytes. */
interface Steps {
  readonly base: Variable;
  readonly image: Variable;
  readonly group: Variable;
}

/** How the rows are divided into tiles: as evenly as can be. */
interface Tiles {
  readonly count: Variable;
  readonly height: Variable;
  /** So many of the first ones are a row taller. */
  readonly taller: Variable;
}

/** What the loops over panels and tiles read. */
interface Product {
  readonly tiles: Tiles;
  readonly steps: StepTable;
  readonly runs: RunTable;
  /** One row of a result. */
  readonly isRow: Variable;
  readonly windows: Variable;
  readonly to: Variable;
  readonly tile: Variable;
  readonly packedWeight: Variable;
  readonly panels: Variable;
  readonly resultRow: Variable;
}

class ProductPrinter {
  readonly #module = new ModuleBuilder();
  readonly #panel: number;
  readonly #isInput: boolean;
  readonly #places: Places;
  readonly #code: Ints;
  readonly #copyRow: number;
  readonly #pack: number;
  readonly #line: number;
  /** Writing and adding a tile's columns. */
  readonly #write: readonly [write: number, add: number];
  /** By rows of a tile, from 1. */
  readonly #micro: readonly number[];
  readonly #microInPlace: readonly number[];

  constructor(places: Places, panel: number) {
    const module = this.#module;
    this.#panel = panel;
    this.#places = places;
    this.#isInput = places.target === "x";
    const heights = Array.from({ length: tileRows }, (_, i) => i + 1);
    this.#copyRow = rowCopier(module);
    this.#pack = runPacker(module, panel);
    this.#line = rowKernel(module, panel);
    this.#write = [runWriter(module, panel, false), runWriter(module, panel, true)];
    this.#micro = heights.map((rows) => microKernel(module, rows, panel, false));
    this.#microInPlace = heights.map((rows) => imageKernel(module, rows, panel));
    this.#code = new Ints(module.function([Type.i32, Type.i32, Type.i32, Type.i32], [], "run"));
  }

  print(): Uint8Array<ArrayBuffer> {
    const code = this.#code;
    const panel = this.#panel;
    const [args, begin, end, scratch] = code.parameters(4);
    const geometry = new Geometry(code, args, this.#places);
    const { images, rows, channels, positions, taps, stride, dilation, padding } = geometry;
    const { axes, rank } = this.#places;
    const isInput = this.#isInput;

    // Operands: what windows read, the weight, the result.
    const source = this.#steps(geometry, 0);
    const weight = {
      base: geometry.address(1), group: geometry.stepOf(1, axes.groups), row: geometry.stepOf(1, axes.rows),
      channel: geometry.stepOf(1, axes.channels), taps: geometry.stepsOf(1, axes.taps),
    };
    const result = this.#steps(geometry, 2);
    const resultRow = geometry.stepOf(2, axes.rows);
    const resultSteps = geometry.stepsOf(2, axes.positions);
    const sourceSteps = isInput
      ? stride.map((_, d) => code.variable(geometry.scalar(4 * rank + d).mul(4)))
      : stride.map((step, d) => code.variable(geometry.stepOf(0, axes.positions + d).div(step)));
    if (!isInput) padding.forEach((zeros, d) => source.base.increase(zeros.mul(sourceSteps[d])));

    const one = code.variable(1);
    const reach = taps.map((size, d) => code.variable(size.sub(1).mul(dilation[d])));
    const lead = isInput ? reach.map((own, d) => code.variable(own.div(stride[d]))) : padding;
    const span = positions.map((size, d) =>
      code.variable(
        isInput
          ? lead[d].add(size.sub(1).add(padding[d]).div(stride[d])).add(1)
          : size.sub(1).mul(stride[d]).add(reach[d]).add(1),
      ));

    // Scratch: a tile, two tables, the packed weight, panels, the image.
    const isRow = code.variable(rows.eq(1));
    const width = code.variable(code.choose(isRow, lineColumns, panel));
    const allSteps = code.variable(code.product([channels, ...taps]));
    const columns = positions.map((size, d) =>
      code.variable(isInput ? size.add(stride[d]).sub(1).div(stride[d]) : size));
    const mostPanels = code.variable(RunTable.mostPanels(code, columns, width));
    const tile = code.variable(scratch.add(Scratch.headerBytes));
    const steps = new StepTable(code, code.variable(tile.add(tileBytes)), allSteps);
    const runTable = code.variable(StepTable.end(tile.add(tileBytes), allSteps));
    const runs = new RunTable(code, runTable, width, mostPanels);
    const packedWeight = code.variable(RunTable.end(runTable, mostPanels, code.product(columns.slice(0, -1))));
    const panels = code.variable(packedWeight.add(rows.mul(allSteps).mul(4)));
    const buffer = code.variable(
      panels.add(code.min(allSteps, blockK).mul(panelsTogether * panel * 4)).add(63).and(-64),
    );
    const image = new Image(
      code,
      { channels, extent: geometry.extent, channelStep: geometry.stepOf(0, axes.channels), steps: sourceSteps },
      { lead, span, stride: isInput ? stride.map(() => one) : stride },
      buffer,
      this.#copyRow,
    );

    const count = code.variable(rows.add(tileRows - 1).div(tileRows));
    const tiles: Tiles = { count, height: code.variable(rows.div(count)), taller: code.variable(rows.rem(count)) };
    const together = code.variable(code.choose(rows.le(rowsInCache), 1, panelsTogether));

    const phase = (remainders: readonly Variable[]): void => {
      steps.print(geometry, image, lead, weight, remainders);
      runs.print(geometry, image, resultSteps, remainders);
      const packedGroup = code.variable(-1);
      const unit = code.variable(begin);
      code.while(() => unit.lt(end), () => {
        const first = code.variable(unit.rem(mostPanels));
        const whole = code.variable(unit.div(mostPanels));
        const group = code.variable(whole.div(images));
        const sample = code.variable(whole.rem(images));
        const last = code.variable(code.min(mostPanels, first.add(end.sub(unit))));
        unit.increase(last.sub(first));
        last.set(code.min(last, runs.panels));
        code.if(group.ne(packedGroup), () => {
          packedGroup.set(group);
          const from = code.variable(weight.base.add(group.mul(weight.group)));
          this.#printPackWeight(from, weight.row, tiles, steps, packedWeight);
        });
        const from = code.variable(source.base.add(sample.mul(source.image)).add(group.mul(source.group)));
        const windows = image.take(from);
        const to = code.variable(result.base.add(sample.mul(result.image)).add(group.mul(result.group)));
        const p: Product = { tiles, steps, runs, isRow, windows, to, tile, packedWeight, panels, resultRow };
        code.if(isRow, () => this.#printLines(p, first, last), () => this.#printPanels(p, first, last, together));
      });
    };
    if (isInput) code.nest(stride, phase);
    else phase([]);
    return this.#module.finish();
  }

  #steps(geometry: Geometry, operand: number): Steps {
    const { axes } = this.#places;
    return {
      base: geometry.address(operand),
      image: geometry.stepOf(operand, axes.images),
      group: geometry.stepOf(operand, axes.groups),
    };
  }

  /** Packs a group's weight tile by tile: [steps][rows of the tile]. `from` moves on. */
  #printPackWeight(from: Variable, row: Variable, tiles: Tiles, steps: StepTable, packedWeight: Variable): void {
    const code = this.#code;
    const { f } = code;
    const to = code.variable(packedWeight);
    this.#forTiles(tiles, (own) => {
      code.for(own, (r) => {
        const at = code.variable(to.add(r.mul(4)));
        code.for(steps.count, (k) => {
          at.push();
          from.add(steps.inWeight(k)).push();
          f.memory(Op.f32Load);
          f.memory(Op.f32Store);
          at.increase(own.mul(4));
        });
        from.increase(row);
      });
      to.increase(own.mul(steps.count).mul(4));
    });
  }

  /** A single row's panels [first, last): each run is summed up at once. */
  #printLines({ steps, runs, windows, to, tile, packedWeight }: Product, first: Variable, last: Variable): void {
    const code = this.#code;
    const isDense = code.variable(runs.step.eq(4));
    code.for(last, (j) => {
      runs.forRuns(j, ({ length, place, own }) => {
        const target = code.variable(to.add(own));
        code.call(
          this.#line, packedWeight, steps.imageEntries(code.constant(0)), windows.add(place),
          code.choose(isDense, target, tile), steps.count, length,
        );
        code.if(isDense.eq(0), () => code.call(this.#write[0], tile, target, 0, runs.step, 1, length));
      });
    }, first);
  }

  /** Panels [first, last) times all rows; `together` of them before the next ones. */
  #printPanels(p: Product, first: Variable, last: Variable, together: Variable): void {
    const code = this.#code;
    const steps = p.steps.count;
    const blocks = code.variable(code.max(steps.add(blockK - 1).div(blockK), 1));
    const block = code.variable(steps.add(blocks).sub(1).div(blocks));
    code.for(last, (j) => {
      const count = code.variable(code.min(together, last.sub(j)));
      // At least once: an empty sum is 0.
      code.for(code.max(steps, 1), (from) => {
        const depth = code.variable(code.min(block, steps.sub(from)));
        this.#printBlock(p, { j, count, from, depth });
      }, 0, code.max(block, 1));
    }, first, together);
  }

  /** `count` panels from panel j on times all rows, for `depth` steps of the sums. */
  #printBlock(p: Product, { j, count, from, depth }: {
    readonly j: Variable; readonly count: Variable; readonly from: Variable; readonly depth: Variable;
  }): void {
    const code = this.#code;
    const { runs, windows, tile } = p;
    const width = 4 * this.#panel;
    const entries = code.variable(p.steps.imageEntries(from));
    const panelBytes = code.variable(depth.mul(width));
    const forPanels = (body: (panel: Variable, packed: Variable, inPlace: Variable) => void): void => {
      code.for(count, (i) => {
        const panel = code.variable(j.add(i));
        const packed = code.variable(p.panels.add(i.mul(panelBytes)));
        const adjoin = runs.isPitched.add(runs.isOneRun(panel)).ne(0);
        body(panel, packed, code.variable(p.tiles.count.le(tilesInPlace).and(adjoin)));
      });
    };
    forPanels((panel, packed, inPlace) => {
      code.if(inPlace.eq(0), () => {
        const pack = (place: Int, column: Variable | number, length: Variable | number): void =>
          code.call(this.#pack, windows.add(place), entries, depth, packed.add(code.constant(4).mul(column)), length);
        code.if(
          runs.isPitched,
          () => pack(runs.firstPlace(panel), 0, this.#panel),
          () => runs.forRuns(panel, ({ column, length, place }) => pack(place, column, length)),
        );
      });
    });
    forPanels((panel, packed, inPlace) => {
      const isWhole = code.variable(runs.isOneRun(panel).and(runs.step.eq(4)));
      const window = code.variable(windows.add(runs.firstPlace(panel)));
      const row = code.variable(p.to);
      const packedRow = code.variable(p.packedWeight);
      this.#forTiles(p.tiles, (own) => {
        const a = code.variable(packedRow.add(from.mul(own).mul(4)));
        const to = code.variable(code.choose(isWhole, row.add(runs.firstOwn(panel)), tile));
        const toRow = code.variable(code.choose(isWhole, p.resultRow, width));
        const adds = code.variable(code.choose(isWhole, from, 0));
        code.if(
          inPlace,
          () => this.#dispatch(own, (h) =>
            code.call(this.#microInPlace[h], a, entries, window, to, toRow, depth, adds)),
          () => this.#dispatch(own, (h) => code.call(this.#micro[h], a, 0, packed, to, toRow, depth, adds)),
        );
        code.if(isWhole.eq(0), () => {
          runs.forRuns(panel, (run) => {
            const write = (index: number): void => code.call(
              index, tile.add(run.column.mul(4)), row.add(run.own), p.resultRow, runs.step, own, run.length,
            );
            code.if(from, () => write(this.#write[1]), () => write(this.#write[0]));
          });
        });
        row.increase(own.mul(p.resultRow));
        packedRow.increase(own.mul(p.steps.count).mul(4));
      });
    });
  }

  #forTiles({ count, height, taller }: Tiles, body: (height: Variable) => void): void {
    const code = this.#code;
    code.for(count, (t) => body(code.variable(height.add(t.lt(taller)))));
  }

  /** Calls the function of a tile's height. */
  #dispatch(height: Variable, call: (index: number) => void, index = tileRows - 1): void {
    if (index === 0) call(0);
    else this.#code.if(height.eq(index + 1), () => call(index), () => this.#dispatch(height, call, index - 1));
  }
}
