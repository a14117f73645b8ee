-- The application's own role; migrations grant it what it may do.
CREATE ROLE loa_app LOGIN PASSWORD 'only-for-this-machine';
