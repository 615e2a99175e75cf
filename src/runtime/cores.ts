import { availableParallelism } from "node:os";

/** How many processes can run at once, as far as this process is let. */
export const cores = (): number => Math.max(1, availableParallelism());
