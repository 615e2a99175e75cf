// `npm run sallyport -- …` and `npm run demo`: the program in this process, so that signals and the exit
// status are its own.
import { prepare } from "./prepare.mjs";

prepare();
await import("../dist/src/main.js");
