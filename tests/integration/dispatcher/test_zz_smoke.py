import asyncio,time
import pytest
from tests.integration.dispatcher.conftest import *
async def test_smoke(rig,api):
    p=rig.start()
    t=time.time()
    rig.request("acme",1,range(10))
    try:
        done=await rig.resolved("acme",1)
        print("first",time.time()-t)
        t=time.time(); rig.request("acme",2,range(10,20)); await rig.resolved("acme",2); print("second",time.time()-t)
    finally:
        print(rig.log_of(p)[-6000:])
