import http.client
import json
import socket
import sys

image, folder, labels = sys.argv[1:]


class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def ask(method, path, body=None):
    line = Engine("docker")
    line.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    return line.getresponse().read()


wish = {
    "Image": image, "User": "0", "Cmd": ["cat", "/host/harbour-master.txt"],
    "HostConfig": {"Binds": [f"{folder}:/host"]}, "Labels": json.loads(labels),
}
box = json.loads(ask("POST", "/containers/create", wish))["Id"]
ask("POST", f"/containers/{box}/start")
ask("POST", f"/containers/{box}/wait")
print(ask("GET", f"/containers/{box}/logs?stdout=1")[8:].decode())
ask("DELETE", f"/containers/{box}?force=1")
