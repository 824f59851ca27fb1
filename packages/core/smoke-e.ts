import { mock } from "./src/testing/mock/index.ts";
import type { LoopKernel } from "./src/kernel/ir.ts";
const op = (overwrites=true) => ({ dtype: "float32" as const, inner: 1 as const, overwrites });
const add: LoopKernel = { kind:"loop", name:"add", axes:1, reduced:0, inputs:[op(),op()], outputs:[op()], scalars:[], accumulators:[], step:[], epilogue:[],
 body:[{op:"load",type:"float32",index:0},{op:"load",type:"float32",index:1},{op:"add",type:"float32",args:[0,1]}], stores:[{output:0,value:2,at:"body"}] };
const t0=performance.now();
const d = mock(); 
function launch(a:number,b:number,o:number,n:number){ const k=d.kernel(add); const at=d.mailbox.beginRun(k, 10); const w=d.mailbox.words; w[at]=a;w[at+1]=0;w[at+2]=b;w[at+3]=0;w[at+4]=o;w[at+5]=0;w[at+6]=n;w[at+7]=1;w[at+8]=1;w[at+9]=1; d.mailbox.end(); }
const a=d.newStorage(16), b=d.newStorage(16), o=d.newStorage(16);
d.upload(a,0,new Uint8Array(new Float32Array([1,2,3,4]).buffer)); d.upload(b,0,new Uint8Array(new Float32Array([10,20,30,40]).buffer));
launch(a,b,o,4);
console.log(new Float32Array(d.read(o,0,16).bytesSync().buffer), performance.now()-t0);
console.log(new Float32Array((await d.read(o,0,16).bytes()).buffer), performance.now()-t0);
const big=d.newStorage(4000); d.upload(big,0,new Uint8Array(4000).fill(7));
console.log((await d.read(big,0,4000).bytes())[3999], d.stats());
const e = mock(); const p=e.newStorage(4000); d.copyTo(big,0,4000,e,p,0); console.log(e.read(p,0,4000).bytesSync()[77]);
await e.fence(); await d.kill(); console.log(new Float32Array(d.read(o,0,16).bytesSync().buffer), d.stats().starts);
if (process.argv[2]==="close") { await d.close(); await e.close(); }
console.log("end", performance.now()-t0);
process.on("exit",()=>console.log("exit",performance.now()-t0));
