#!/usr/bin/env node
import { main } from "./cli/main.ts";

process.exitCode = await main(process.argv.slice(2), process.env);
// Listeners that are still closing must not keep a finished command alive.
process.exit();
