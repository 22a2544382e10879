"""A web server with MTA-STS policies on loopback, for tests."""

import http.server
import ssl
import subprocess
import threading

POLICY = "version: STSv1\r\nmode: %s\r\nmx: mx.%s\r\nmax_age: %d\r\n"
DAY = 86400


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


class WebServer:
    """Serves what `pages` says for a host: (status, headers, body), and counts."""

    def __init__(self, folder, certificate):
        self.pages = {}
        self.hits = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host = self.headers["Host"].split(":")[0]
                outer.hits.append(host + self.path)
                status, headers, body = outer.pages.get(host, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{folder}/{certificate}.pem", f"{folder}/{certificate}.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, domain, mode="enforce", max_age=DAY, body=None, status=200,
            content_type="text/plain; charset=utf-8", **headers):
        text = body if body is not None else (POLICY % (mode, domain, max_age)).encode()
        self.pages["mta-sts." + domain] = (status, {"Content-Type": content_type, **headers}, text)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
