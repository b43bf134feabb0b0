"""The mechanisms that compression recipes are composed of; none of them knows a recipe."""
