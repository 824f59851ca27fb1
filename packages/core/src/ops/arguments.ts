export * from "../arguments.ts";
