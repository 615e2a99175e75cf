import { Refusal } from "../errors.ts";

/** Nobody acted on a request: it may be asked again whatever its method, as long as its body is still here. */
export class Unsent extends Refusal {
  /** No connection came about, so that the server itself is in doubt; otherwise it turned the request away unread. */
  readonly noConnection: boolean;

  constructor(cause: Refusal, noConnection: boolean) {
    super(cause.reason, cause.message, { cause: cause.cause });
    this.noConnection = noConnection;
  }
}

/** A dial for a request's sake. */
export async function dialled<C>(dial: () => Promise<C>): Promise<C> {
  try {
    return await dial();
  } catch (error) {
    throw error instanceof Refusal ? new Unsent(error, true) : error;
  }
}
