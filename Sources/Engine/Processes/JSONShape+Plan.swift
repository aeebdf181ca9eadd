import System

extension JSONShape {
    /// What is too much of it for a plan, or for what is as long as one; nil if nothing is.
    var excess: String? {
        if depth > Limit.planDepthMax { return "nests deeper than \(Limit.planDepthMax) levels" }
        if values > Limit.planValuesMax { return "has \(values) values, \(Limit.planValuesMax) are allowed" }
        return nil
    }
}
