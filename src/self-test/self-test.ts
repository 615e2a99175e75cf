import type { Runtime } from "../types.ts";

export async function selfTest(_runtime: Runtime): Promise<void> {}
