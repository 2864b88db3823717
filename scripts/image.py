"""Writes an image around one static binary, as an archive that is both an OCI layout and what `docker save` writes.

Called by scripts/build-image. Python's own library only; the same input gives the same bytes.
"""
import argparse
import datetime
import gzip
import hashlib
import io
import json
import platform
import tarfile

MEDIA = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def archive(files, epoch):
    """A tar of (name, bytes, mode); a name that ends with a slash is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data, mode in files:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.mtime = mode, epoch
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def text(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main():
    arguments = argparse.ArgumentParser()
    for name in ("binary", "output", "version", "revision"):
        arguments.add_argument("--" + name, required=True)
    arguments.add_argument("--epoch", type=int, required=True)
    arguments.add_argument("--name")
    arguments.add_argument("--set-label", action="append", default=[])
    asked = arguments.parse_args()
    name = asked.name or f"quay.io/openperouter/perouter:{asked.version}"
    created = datetime.datetime.fromtimestamp(asked.epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.title": "perouter",
        "org.opencontainers.image.description": "An L3 passthrough router for one node, with its own BGP speaker",
        "org.opencontainers.image.version": asked.version,
        "org.opencontainers.image.revision": asked.revision,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.created": created,
    }
    labels.update(label.split("=", 1) for label in asked.set_label)

    with open(asked.binary, "rb") as file:
        binary = file.read()
    # The root itself, which others than root may enter only if the layer says so, and directories that volumes are mounted on,
    # so that the root can be read-only.
    places = ["./", "etc/", "etc/openperouter/", "run/", "run/perouter/", "tmp/", "var/", "var/run/", "var/run/netns/"]
    layer = archive([(place, b"", 0o755) for place in places] + [("perouter", binary, 0o755)], asked.epoch)
    blob = gzip.compress(layer, compresslevel=9, mtime=0)
    config = text({
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "created": created,
        "config": {"Entrypoint": ["/perouter"], "Env": ["PATH=/"], "WorkingDir": "/", "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]},
        "history": [{"created": created, "created_by": "scripts/build-image"}],
    })

    def descriptor(kind, data, **more):
        return {"mediaType": MEDIA + kind, "digest": "sha256:" + digest(data), "size": len(data), **more}

    manifest = text({
        "schemaVersion": 2,
        "mediaType": MEDIA + "manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar+gzip", blob)],
        "annotations": labels,
    })
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = text({
        "schemaVersion": 2,
        "mediaType": MEDIA + "index.v1+json",
        "manifests": [descriptor("manifest.v1+json", manifest, annotations=named)],
    })

    def at(data):
        return "blobs/sha256/" + digest(data)

    saved = text([{"Config": at(config), "RepoTags": [name], "Layers": [at(blob)]}])
    files = [("oci-layout", text({"imageLayoutVersion": "1.0.0"}), 0o644), ("index.json", index, 0o644)]
    files += [(at(data), data, 0o644) for data in (blob, config, manifest)]
    files += [("manifest.json", saved, 0o644)]
    with open(asked.output, "wb") as file:
        file.write(archive(files, asked.epoch))
    print(f"{asked.output}: {name}, {len(blob) / 1e6:.1f} MB (binary {len(binary) / 1e6:.1f} MB)")


main()
