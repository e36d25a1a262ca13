// Where everything runs: the VPC that the parameters name, or one that is made.

import { Fn, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';

import { logGroup } from './logs';
import type { Params } from './params';

export class Network extends Construct {
  readonly vpc: ec2.IVpc;
  readonly loadBalancerSubnets: ec2.SubnetSelection;
  readonly taskSubnets: ec2.SubnetSelection;

  constructor(scope: Construct, params: Params) {
    super(scope, 'Network');
    if (params.vpcId === undefined) {
      this.vpc = this.make(params);
      const { PUBLIC, PRIVATE_WITH_EGRESS } = ec2.SubnetType;
      this.loadBalancerSubnets = { subnetType: params.internal ? PRIVATE_WITH_EGRESS : PUBLIC };
      this.taskSubnets = { subnetType: PRIVATE_WITH_EGRESS };
    } else {
      this.vpc = ec2.Vpc.fromVpcAttributes(this, 'Vpc', {
        vpcId: params.vpcId,
        // Nothing asks for them, and looking them up would need an account.
        availabilityZones: [Fn.select(0, Fn.getAzs())],
      });
      this.loadBalancerSubnets = this.given('LoadBalancer', params.loadBalancerSubnetIds);
      this.taskSubnets = this.given('Task', params.taskSubnetIds);
    }
  }

  private make(params: Params): ec2.Vpc {
    const vpc = new ec2.Vpc(this, 'Vpc', {
      maxAzs: 2,
      // Tasks need a way out to STS, ECS and the registry. Without it no agent can prove who it is,
      // agents about whom ECS is asked lose their places after --ecs-grace, and no new task starts.
      // A gateway goes with its zone: with one of them, so do the tasks of the other zone.
      natGateways: params.natGateways,
    });
    vpc.addFlowLog('FlowLog', {
      destination: ec2.FlowLogDestination.toCloudWatchLogs(logGroup(this, 'network', params)),
      trafficType: ec2.FlowLogTrafficType.REJECT,
    });
    return vpc;
  }

  private given(name: string, ids: readonly string[]): ec2.SubnetSelection {
    const subnets = ids.map((subnetId, index) => {
      const subnet = ec2.Subnet.fromSubnetAttributes(this, `${name}Subnet${index}`, { subnetId });
      Validations.of(subnet).acknowledge({
        id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
        reason: 'Nothing here makes routes in a VPC that is given.',
      });
      return subnet;
    });
    return { subnets };
  }
}
