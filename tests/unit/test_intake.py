"""When the volume is looked at, and when its events cannot be trusted."""

import os
import time

from tests.harness import play


def test_polling_mode_expects_no_events_and_misses_none(tmp_path):
    async def story(world):
        await world.boot()
        for number in range(3):
            world.job(f"job{number}")
            long_ago = time.time() - 60
            os.utime(world.jobs / f"job{number}.json", (long_ago, long_ago))
            world.request(f"r{number}.json", job_name=f"job{number}")
            world.clock.advance(60)
            world.scheduler.step()
        assert len(world.scheduler.catalog.jobs) == 3

    world = play(tmp_path, story)

    assert world.main_lines("watch_degraded") == []
