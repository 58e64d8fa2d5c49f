"""What do we object to? One decorated pure generator for each rule; they are found by walking this package."""
