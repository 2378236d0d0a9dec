import { bytesOf } from "../decode";
import type { Binary } from "../protocol.gen";

/** Decodes the JPEG of a message; null where there is none or the browser cannot decode it. */
export async function decodeImage(buffer: Binary | undefined): Promise<ImageBitmap | null> {
  const bytes = bytesOf(buffer);
  if (!bytes) return null;
  try {
    return await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  } catch {
    // A tile without its picture still shows its activation.
    return null;
  }
}
