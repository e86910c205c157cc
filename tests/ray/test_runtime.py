import subprocess
import sys
import textwrap

SCRIPT = textwrap.dedent(
    """
    import os, tempfile
    from aimat_ray.cli.console import emit_json
    from aimat_ray.registry.channel import Channel
    from aimat_ray.registry.client import SurrogateClient
    from aimat_ray.registry.deployment import start_surrogate_service, stop_surrogate_service
    from aimat_ray.registry.fake import LinearBundle
    from aimat_ray.registry.hub import SurrogateHub
    from aimat_ray.registry.runtime import ray_running
    from aimat_ray.registry.store import SurrogateStore
    import numpy as np

    bundle = LinearBundle.random(0)
    store = SurrogateStore(tempfile.mkdtemp(), LinearBundle.load)
    version = store.put(bundle)
    with ray_running(num_cpus=1):
        import ray
        hub = SurrogateHub.start(Channel.of(bundle.manifest), store.root, loader=LinearBundle.load)
        hub.publish(version)
        start_surrogate_service(hub)
        client = SurrogateClient.serve()
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        p = client.predict(np.eye(52)[:3])
        ray.kill(ray.get_actor(hub.actor_name, namespace=hub.namespace), no_restart=False)
        hub.current()
        stop_surrogate_service(shutdown=True)
    emit_json({"version": p.version})
    """
)


def test_ray_and_serve_stay_silent_on_both_streams():
    # a whole life in a fresh process: start, hub, service, a killed hub, end; only our JSON may come out
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=True)
    assert ended.stdout.startswith('{\n "version": "')
    assert ended.stdout.count("\n") == 3
    assert ended.stderr == ""


def test_joining_a_cluster_that_is_not_there_is_one_clear_error():
    code = textwrap.dedent(
        """
        from aimat_ray.errors import ServiceError
        from aimat_ray.registry.runtime import connect_ray
        try:
            connect_ray(address="127.0.0.1:1")
        except ServiceError as error:
            print("refused:", error.message)
        """
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert ended.stdout.startswith("refused: joining the Ray cluster at 127.0.0.1:1 failed"), ended
