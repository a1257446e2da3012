// Asks containers/image, the library of podman and skopeo, whether a policy lets an image pass.
// usage: policy-check POLICY REGISTRIES.D HOST/REPOSITORY:TAG
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
)

func check(policyPath, registries, name string) error {
	ctx := context.Background()
	system := &types.SystemContext{
		RegistriesDirPath:           registries,
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
	}
	policy, err := signature.NewPolicyFromFile(policyPath)
	if err != nil {
		return err
	}
	decision, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	defer decision.Destroy()
	reference, err := docker.ParseReference("//" + name)
	if err != nil {
		return err
	}
	source, err := reference.NewImageSource(ctx, system)
	if err != nil {
		return err
	}
	defer source.Close()
	allowed, err := decision.IsRunningImageAllowed(ctx, image.UnparsedInstance(source, nil))
	if err == nil && !allowed {
		return fmt.Errorf("not allowed")
	}
	return err
}

func main() {
	if err := check(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
