# From `cargo metadata` to CycloneDX 1.5: perouter and all that is linked into it, neither tests nor build scripts' own.
# $lock is Cargo.lock, which has the checksums; $tree names what cargo compiles into it: metadata also has what only features
# that tests and other crates of the workspace ask for would bring.
def purl: "pkg:cargo/\(.name)@\(.version)";
def linked: [.deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg];

(.packages | map({(.id): .}) | add) as $package
| ($tree | split("\n") | map({(.): true}) | add) as $named
| (.resolve.nodes | map({(.id): [linked[] | select($package[.] | $named["\(.name) \(.version)"])]}) | add) as $needs
| (.packages[] | select(.name == "perouter" and .source == null) | .id) as $root
| ({seen: [$root], next: [$root]}
    | until(.next == []; .seen as $seen | ([.next[] | $needs[.][]] | unique - $seen) as $new | {seen: ($seen + $new), next: $new})
    | .seen) as $all
| ([$lock | scan("name = \"([^\"]+)\"\nversion = \"([^\"]+)\"\nsource = [^\n]+\nchecksum = \"([0-9a-f]+)\"") | {("\(.[0]) \(.[1])"): .[2]}] | add) as $sums
| def component: {
    type: (if .id == $root then "application" else "library" end),
    "bom-ref": purl,
    name, version, purl: purl,
    description: (.description // "" | gsub("\\s+"; " ") | ltrimstr(" ") | rtrimstr(" ")),
    licenses: (if .license then [{expression: (.license | gsub("/"; " OR "))}] else [] end)
  }
  + (if $sums["\(.name) \(.version)"] then {hashes: [{alg: "SHA-256", content: $sums["\(.name) \(.version)"]}]} else {} end)
  + (if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end);
{
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  version: 1,
  metadata: {component: ($package[$root] | component)},
  components: ([$all[] | select(. != $root) | $package[.] | component] | sort_by(.purl)),
  dependencies: ([$all[] | {ref: ($package[.] | purl), dependsOn: ([$needs[.][] | $package[.] | purl] | sort)}] | sort_by(.ref))
}
