"""Dramatiq doors: importing this names every actor to the broker."""

import dramatiq

from testbench.adapters import logs, queue

logs.configure()
dramatiq.set_broker(queue.broker())

from testbench.tasks import rollouts, runs  # noqa: E402  (actors register with the broker set above)

__all__ = ["rollouts", "runs"]
