import asyncio,time,os,signal,random
import pytest
from tests.integration.dispatcher.conftest import *
@pytest.mark.timeout(500)
async def test_chaos(rig,api):
    rnd=random.Random(int(os.getenv("SEED","1")))
    api.seconds=0.4
    procs={n:rig.start(n) for n in ("one","two","three")}
    cs=rig.customers(12)
    w=asyncio.gather(*(rig.work(c,calls=60) for c in cs))
    end=time.time()+150; codes=[]
    while time.time()<end and not w.done():
        await asyncio.sleep(rnd.uniform(2,9))
        n=rnd.choice(list(procs)); p=procs[n]
        how=rnd.choice(["kill","kill","term","stop","lose"])
        if how=="kill": os.killpg(p.pid,signal.SIGKILL)
        elif how=="term": p.send_signal(signal.SIGTERM)
        elif how=="stop":
            p.send_signal(signal.SIGSTOP); await asyncio.sleep(rnd.uniform(1,12)); p.send_signal(signal.SIGCONT)
        else: api.lose_answers=2
        await asyncio.sleep(1.5)
        for n,p in procs.items():
            if p.poll() is not None: codes.append((n,how,p.returncode)); procs[n]=rig.start(n)
    print("left alone after", len(api.journal), codes)
    await w
    bad=[c for c in cs if sorted(api.urls_of(c))!=sorted(urls(range(5,305)))]
    print("journal",len(api.journal),"overlaps",len(api.overlaps()),"bad",bad, "posts",len(api.posts), "order ok",all(api.urls_of(c)==urls(range(5,305)) for c in cs))
    for p in rig._processes:
        for l in rig.log_of(p).splitlines():
            if '"lane.' not in l and 'partitions.' not in l and 'service.s' not in l: print(l[:400])
    assert not bad and not api.overlaps()
