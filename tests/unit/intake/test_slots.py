"""Shares of the slots: a customer with many lists leaves room for the others."""

from __future__ import annotations

import asyncio

from imagelane.intake.slots import KeyedSlots


class Holders:
    """Tasks that hold a slot each until they are told to leave."""

    def __init__(self, slots: KeyedSlots) -> None:
        self._slots = slots
        self.inside: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}

    async def hold(self, name: str) -> None:
        async with self._slots.slot(name[0]):
            self.inside.append(name)
            await self.leave.setdefault(name, asyncio.Event()).wait()

    async def start(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.hold(name)) for name in names]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks


async def test_a_customer_holds_no_more_than_its_share() -> None:
    slots = KeyedSlots(3, per_key=2)
    holders = Holders(slots)
    tasks = await holders.start("a1", "a2", "a3", "b1", "b2")
    assert holders.inside == ["a1", "a2", "b1"]
    holders.leave["a1"].set()
    await tasks[0]
    await asyncio.sleep(0)
    assert holders.inside == ["a1", "a2", "b1", "b2"]
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_owns_without_lists_are_forgotten() -> None:
    slots = KeyedSlots(1, per_key=1)
    holders = Holders(slots)
    tasks = await holders.start("a1", "b1", "b2")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert slots._owns == {}
    (again,) = await holders.start("c1")
    assert "c1" in holders.inside
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
