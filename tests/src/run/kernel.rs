// later
pub fn run(
    _w: crate::case::Way,
    _c: &crate::case::Case,
    _f: &crate::case::Family,
) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
