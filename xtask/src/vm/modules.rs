//! The modules that must be loaded before the VM can see its shares.

/// The files that `wanted` modules need, each after those it depends on; a module that the list does not have is
/// built into the kernel.
pub fn load_order<'a>(modules_dep: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let lines: Vec<(&str, &str)> = modules_dep.lines().filter_map(|line| line.split_once(':')).collect();
    let mut order = Vec::new();
    for (file, _) in lines.iter().filter(|(file, _)| wanted.contains(&name(file).as_str())) {
        add(file, &lines, &mut order);
    }
    order
}

fn add<'a>(file: &'a str, lines: &[(&'a str, &'a str)], order: &mut Vec<&'a str>) {
    if order.contains(&file) {
        return;
    }
    let needs = lines.iter().find(|(found, _)| *found == file).map_or("", |(_, needs)| needs);
    for need in needs.split_whitespace() {
        add(need, lines, order);
    }
    order.push(file);
}

/// The module's name as the kernel writes it.
fn name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_after_those_it_depends_on() {
        let list = "k/9p.ko: k/netfs.ko k/9pnet.ko\nk/netfs.ko: k/fscache.ko\nk/fscache.ko:\nk/9pnet.ko:\n\
                    k/ext4.ko: k/jbd2.ko\nk/9pnet-virtio.ko: k/9pnet.ko\n";
        let order = load_order(list, &["9p", "9pnet_virtio", "built_in"]);
        assert_eq!(order, ["k/fscache.ko", "k/netfs.ko", "k/9pnet.ko", "k/9p.ko", "k/9pnet-virtio.ko"]);
    }
}
