//! Names that mean different things in NumPy and PyTorch: with PyTorch's keyword they raise an error that shows the right call.

/// What to write instead, if `name` was called with the keyword `key`, among all of `keys`.
#[cold]
pub fn advice(name: &str, key: &str, keys: &[String]) -> Option<&'static str> {
    let given = |wanted: &[&str]| keys.iter().any(|k| wanted.contains(&k.as_str()));
    let is_dim = matches!(key, "dim" | "keepdim");
    Some(match name {
        "max" | "min" | "median" if is_dim => {
            "PyTorch's gives a pair of values and indices here. Write axis= and keepdims= for the values alone, argmax or argmin for the indices"
        }
        "var" | "std" if is_dim && !given(&["correction", "ddof", "unbiased"]) => {
            "PyTorch's is unbiased by default and NumPy's is not. Write axis=..., correction=1 for PyTorch's, axis=..., correction=0 for NumPy's"
        }
        "split" if matches!(key, "dim" | "split_size" | "split_size_or_sections") => {
            "PyTorch takes the length of a part and NumPy the number of parts. Write split(x, number, axis=...), split(x, [places], axis=...), or chunk(number, dim)"
        }
        "repeat" if key == "dim" => {
            "PyTorch's repeat tiles the array and NumPy's repeats its elements. Write tile(x, ...) for the first, repeat(x, n, axis=...) or repeat_interleave(n, dim) for the second"
        }
        "sort" if key == "dim" => {
            "PyTorch's gives a pair of values and indices. Write sort(x, axis=...) for the values, argsort(x, axis=...) for the indices"
        }
        _ => return None,
    })
}

/// Whether PyTorch's or NumPy's function accepts positional arguments that ours rejects, such as `max(x, y)` and `sum(x, 0, dtype)`.
pub fn has_form_by_position(name: &str) -> bool {
    matches!(
        name,
        "argsort"
            | "atleast_1d"
            | "atleast_2d"
            | "atleast_3d"
            | "delete"
            | "einsum"
            | "histogram"
            | "histogram_bin_edges"
            | "insert"
            | "max"
            | "mean"
            | "min"
            | "norm"
            | "pad"
            | "prod"
            | "repeat"
            | "select"
            | "std"
            | "sum"
            | "var"
    )
}
