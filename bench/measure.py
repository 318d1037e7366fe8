"""What the timed processes in Python share, as measure.mjs for those in JavaScript: the clock, a line for a measurement."""
import json
import time


def best_seconds(run, runs):
    """Seconds of the fastest of `runs` runs, after one that is not counted."""
    run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def report(what, per_second):
    print(json.dumps({"what": what, "per_second": per_second}))
