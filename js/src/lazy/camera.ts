import { text } from "./text";

/** Why a page got no picture from a camera, in words: what `getUserMedia` or playing its stream threw. */
export function cameraProblem(error: unknown, secure: boolean): string {
  const problems = text.photoCameraProblems;
  // On a page that is not secure there is no navigator.mediaDevices at all.
  if (!secure) return problems.insecure;
  const name = error instanceof Error ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return problems.refused;
    case "NotFoundError":
    case "OverconstrainedError":
      return problems.none;
    case "NotReadableError":
    case "AbortError":
      return problems.busy;
    default:
      return problems.other(error instanceof Error ? `${name}: ${error.message}` : String(error));
  }
}
