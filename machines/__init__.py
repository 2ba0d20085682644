"""Eight machines to copy from.

``order``: a business process, with guards, roles, a deadline and two queues.
``podcast``: real work on real files.
``approval``: a deadline, a reminder, and an answer that comes too early.
``newsletter``: a job for each reader, three at a time.
``onboarding``, with a child ``invitation`` for each colleague, and an early exit.
``report``: an entity that is started by the clock.
``trip``: several bookings, or none (a saga).

``ffmpeg``, ``gateway`` and ``mail`` are what their jobs call. Copy the folder as a whole, under any name: its modules
import each other by where they are.
"""
