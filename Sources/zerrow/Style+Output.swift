import Glibc
import Terminal

extension Style {
    /// What can be shown on standard output.
    static func output(isColoured: Bool) -> Style {
        let style = Style(isTerminal: isatty(1) == 1, environment: Environment.variables)
        return Style(isColoured: isColoured, isUnicode: style.isUnicode)
    }
}
