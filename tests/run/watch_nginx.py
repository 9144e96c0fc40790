# SPDX-License-Identifier: MIT
"""unclosed watch and a server that others have written: Debian's nginx, without frame pointers."""
import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from tap import equal, main, run, test, wait_for  # noqa: E402
from watching import Watch, in_order, name  # noqa: E402


NGINX = """
daemon off; pid %(folder)s/pid; error_log %(folder)s/log; worker_processes 1; user root;
events {}
http {
    access_log off; client_body_temp_path %(folder)s; proxy_temp_path %(folder)s;
    fastcgi_temp_path %(folder)s; uwsgi_temp_path %(folder)s; scgi_temp_path %(folder)s;
    proxy_buffer_size 1m; proxy_buffers 4 1m; proxy_busy_buffers_size 1m;
    server {
        listen 127.0.0.1:%(port)d sndbuf=4k;
        location / { proxy_pass http://127.0.0.1:%(upstream)d; proxy_ignore_client_abort on; }
        location /at-once { proxy_pass http://127.0.0.1:%(upstream)d; proxy_buffering off; }
    }
}
"""


@contextmanager
def nginx():
    """Its worker's number, its port, and the server that it asks."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as upstream, \
            socket.create_server(("127.0.0.1", 0)) as ls:
        port = ls.getsockname()[1]
        with open(f"{folder}/conf", "w", encoding="utf-8") as f:
            f.write(NGINX % {"folder": folder, "port": port, "upstream": upstream.getsockname()[1]})
        # It takes the listener over, as it does from its older self at an upgrade.
        with subprocess.Popen(["/usr/sbin/nginx", "-c", f"{folder}/conf"], pass_fds=[ls.fileno()],
                              env={**os.environ, "NGINX": f"{ls.fileno()};"},
                              stderr=subprocess.DEVNULL) as process:
            ls.close()
            try:
                yield wait_for(lambda: run("pgrep", "-P", process.pid).stdout.strip(), "a worker"), port, upstream
            finally:
                process.terminate()


@test
def nginx_that_ignores_its_client_s_abort():
    """Where it accepted, in the names of its own functions."""
    with nginx() as (worker, port, upstream), Watch("--after", "100ms", "--json", "--pid", worker) as w:
        w.ready()
        client = socket.create_connection(("127.0.0.1", port))
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        waits = upstream.accept()[0]
        end = name(client)
        client.close()
        line = json.loads(w.line("half-closed", f'"peer":"{end}"', seconds=30))
        equal((line["cause"], line["made"]["by"]), ("unread", "accept"), "cause and making")
        equal([str(h["pid"]) for h in line["holders"]], [worker], "holder")
        in_order(line["made"]["stack"], "ngx_event_accept", "ngx_process_events_and_timers",
                 "ngx_spawn_process", "ngx_master_process_cycle", "main")
        equal(line["made"]["stack_note"], "", "note")
        waits.close()


@test
def nginx_whose_client_does_not_read():
    """Without buffering it keeps the connection to the server that it asked, which has closed it, for as
    long as the client has not taken everything: it was told, and where."""
    with nginx() as (worker, port, upstream), Watch("--after", "100ms", "--json", "--pid", worker) as w:
        w.ready()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.send(b"GET /at-once HTTP/1.1\r\nHost: x\r\n\r\n")
            with upstream.accept()[0] as asked:
                asked.recv(4096)
                end = "%s:%d" % asked.getpeername()
                asked.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(200000))
            line = json.loads(w.line("half-closed", f'"local":"{end}"', seconds=30))
            equal((line["cause"], line["made"]["by"]), ("told", "connect"), "cause and making")
            equal((str(line["told"]["pid"]), line["told"]["comm"]), (worker, "nginx"), "who was told")
            in_order(line["told"]["stack"], "ngx_unix_recv", "ngx_process_events_and_timers",
                     "ngx_spawn_process", "ngx_master_process_cycle", "main")
            equal(line["told"]["stack_note"], "", "note")
            in_order(line["made"]["stack"], "ngx_event_connect_peer", "ngx_process_events_and_timers", "main")


main()
