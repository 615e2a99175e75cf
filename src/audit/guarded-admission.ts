import type { AdmissionControl } from "../core/admission.ts";
import { Refusal } from "../errors.ts";

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
