import type { AdmissionControl } from "../core/admission.ts";
import { Refusal } from "../errors.ts";
import type { MemoryBound } from "../limits/memory-bound.ts";

/** No connection comes in of which there might be no record. */
export function whereRecorded(admission: AdmissionControl, full: () => boolean): AdmissionControl {
  return {
    enter: (evict) => {
      if (full())
        throw new Refusal("limit_reached", "audit records wait to be written: SALLYPORT_AUDIT_FULL=refuse");
      return admission.enter(evict);
    },
  };
}

/** No connection comes in while the process has as much memory as it may. */
export const whereRoom = (
  admission: AdmissionControl,
  memory: Pick<MemoryBound, "refusal"> | null,
): AdmissionControl =>
  memory === null
    ? admission
    : {
        enter: (evict) => {
          const refusal = memory.refusal(false);
          if (refusal !== null) throw refusal;
          return admission.enter(evict);
        },
      };
