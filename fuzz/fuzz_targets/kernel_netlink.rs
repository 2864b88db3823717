#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzzed::target("kernel_netlink").run)(data));
