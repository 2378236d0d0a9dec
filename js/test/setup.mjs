// One view hangs all it has on one AbortSignal; Node takes more than ten listeners for a leak.
import { setMaxListeners } from "node:events";

setMaxListeners(0);
