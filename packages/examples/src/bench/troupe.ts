/** Troupe as a contender: `node troupe.ts FOLDER JOB [captured]`. */
import type { Job } from "./jobs.ts";
import { firstStepJob, scalingJob, trainJob } from "./troupe/train.ts";
import { addJob, elementwiseJob, matmulJob } from "./troupe/ops.ts";

const [folder, text, form] = process.argv.slice(2);
const job = JSON.parse(text) as Job;
const isCaptured = form === "captured";

switch (job.kind) {
  case "add":
    await addJob(job);
    break;
  case "elementwise":
    await elementwiseJob(job, isCaptured);
    break;
  case "matmul":
    await matmulJob(job);
    break;
  case "train":
    await trainJob(folder, job, isCaptured);
    break;
  case "scaling":
    await scalingJob(folder, job, isCaptured);
    break;
  case "first step":
    await firstStepJob(folder, job);
    break;
}
