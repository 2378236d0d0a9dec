"""What a page holds on to."""


def page_memory(page):
    """Script memory in use in MB, and the counts of nodes and listeners, all garbage collected."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("HeapProfiler.enable")
    cdp.send("HeapProfiler.collectGarbage")
    cdp.send("Performance.enable")
    found = {row["name"]: row["value"] for row in cdp.send("Performance.getMetrics")["metrics"]}
    cdp.detach()
    return found["JSHeapUsedSize"] / 1e6, found["Nodes"], found["JSEventListeners"]
