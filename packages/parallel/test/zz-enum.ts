import { globSync } from "node:fs";
const root = new URL("../../core/src/ops/", import.meta.url);
const ops = new Map<object, {kind:string,name:string,where:string}>();
for (const f of globSync("**/*.ts", { cwd: root.pathname })) {
  const m = await import(new URL(f, root).href) as Record<string, unknown>;
  const see = (v: unknown, d: number, where: string): void => {
    if (v === null || (typeof v !== "object" && typeof v !== "function")) return;
    const o = v as Record<string, unknown>;
    if (typeof o["infer"] === "function" && typeof o["run"] === "function" && typeof o["kind"] === "string" && typeof o["name"]==="string") { if(!ops.has(o)) ops.set(o, {kind:o["kind"] as string, name:o["name"] as string, where}); return; }
    if (d > 0) for (const [k, x] of Object.entries(o)) see(x, d - 1, `${where}.${k}`);
  };
  for (const [k, v] of Object.entries(m)) see(v, 2, `${f}:${k}`);
}
const by: Record<string, string[]> = {};
for (const { kind, name } of ops.values()) (by[kind] ??= []).push(name);
for (const [k, v] of Object.entries(by)) console.log(k, v.length, v.sort().join(" "));
