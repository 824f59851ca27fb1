/** Compiled code on its way to the helpers. */
import { MessageChannel } from "node:worker_threads";
import fc from "fast-check";
import { expect, test } from "vitest";
import { codeReceiver, codeSender } from "../src/code.ts";
import { createMemory } from "../src/heap.ts";
import { printKernel } from "../src/wasm/print.ts";
import { binaryKernel } from "./kernels.ts";

const memory = createMemory(1, 2 ** 22);
const module = new WebAssembly.Module(printKernel(binaryKernel("add")).bytes);

test("a helper has the code of every launch, whatever it let go of, and keeps no more than the latest", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ serial: fc.nat(8), rank: fc.integer({ min: 1, max: 2 }) })), (launches) => {
      const channels = [new MessageChannel(), new MessageChannel()];
      const share = codeSender(channels.map(({ port1 }) => port1), 3);
      const codes = channels.map(({ port2 }) => codeReceiver(port2, memory, 3));
      for (const { serial, rank } of launches) {
        share(rank, serial, module);
        expect(codes[rank - 1](serial)).toBeTypeOf("function");
      }
      for (const [i, code] of codes.entries()) {
        const known = Array.from({ length: 9 }, (_, serial) => serial).filter((serial) => {
          try {
            return code(serial) !== undefined;
          } catch {
            return false;
          }
        });
        const named = new Set(launches.filter(({ rank }) => rank === i + 1).map(({ serial }) => serial));
        expect(known.length).toBe(Math.min(3, named.size));
      }
      for (const { port1 } of channels) port1.close();
    }),
  );
});

test("code is sent once to whom it serves, and to nobody else", () => {
  const channels = [new MessageChannel(), new MessageChannel()];
  const sent: number[] = [0, 0];
  const ports = channels.map(({ port1 }, i) => Object.assign(port1, { postMessage: () => void (sent[i] += 1) }));
  const share = codeSender(ports);
  for (let i = 0; i < 5; i++) share(2, 1, module);
  expect(sent).toEqual([0, 1]);
  for (const { port1 } of channels) port1.close();
});
